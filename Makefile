PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint format bench gallery notebooks clean

demo: $(INSTALLED)  ## compare with scikit-learn: print a table and draw demo.png
	$(BIN)/python -m torchmlp --out demo.png

test: $(INSTALLED)  ## run the tests, the doctests and the code of the documentation
	$(BIN)/python -m pytest -n 2

lint: $(INSTALLED)  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)  ## measure speed and memory of several libraries; ARGS=--quick for a short run
	$(BIN)/python -m benchmarks $(ARGS)

gallery: $(INSTALLED)  ## draw the figures of the documentation
	$(BIN)/python .github/gallery.py

notebooks: $(INSTALLED)  ## execute the notebooks in place
	$(BIN)/python notebooks/refresh.py

clean:
	rm -rf $(VENV) demo.png

# Install the tested version of torch first. Its dependents would install the newest one.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@
