PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint format bench gallery notebooks clean

demo: $(INSTALLED)  ## fit both libraries side by side, print a table and draw demo.png
	$(BIN)/python -m torchmlp --out demo.png

test: $(INSTALLED)  ## run all tests, the doctests and the README
	$(BIN)/python -m pytest -n 2

lint: $(INSTALLED)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)  ## how long others take, beside us; ARGS=--quick for a short run
	$(BIN)/python -m benchmarks $(ARGS)

gallery: $(INSTALLED)  ## draw the README's pictures
	$(BIN)/python .github/gallery.py

notebooks: $(INSTALLED)  ## run the notebooks and keep their outputs
	$(BIN)/python notebooks/refresh.py

clean:
	rm -rf $(VENV) demo.png

# torch comes first and in the tested version: what depends on it would take the newest one.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@
