PYTHON ?= python3
VENV := .venv
MINUTES ?= 10
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test kills fuzz lint format docs inventories bench gallery notebooks clean

demo: $(INSTALLED)  ## compare with scikit-learn: print a table and draw demo.png
	$(BIN)/python -m torchmlp --out demo.png

test: $(INSTALLED)  ## run the tests, the doctests and the code of the documentation
	$(BIN)/python -m pytest -n 2

kills: $(INSTALLED)  ## kill 200 fits with a Checkpoint at random moments, and continue them
	TORCHMLP_N_KILLS=200 $(BIN)/python -m pytest -n 0 tests/callbacks/test_checkpoint_kills.py

fuzz: $(INSTALLED)  ## run the tests of tests/fuzz with random examples, for MINUTES=10 minutes
	$(BIN)/python tests/fuzz $(MINUTES)

lint: $(INSTALLED)  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED)  ## build the documentation in docs/_build/html, with warnings as errors
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --quiet docs docs/_build/html

inventories: $(INSTALLED)  ## after a first reference to an object of another project
	$(BIN)/python docs/inventories/build.py

bench: $(INSTALLED)  ## measure speed and memory of several libraries; ARGS=--quick for a short run
	$(BIN)/python -m benchmarks $(ARGS)

gallery: $(INSTALLED)  ## draw the figures of the documentation
	$(BIN)/python .github/gallery.py

notebooks: $(INSTALLED)  ## execute the notebooks in place
	$(BIN)/python notebooks/refresh.py

clean:
	rm -rf $(VENV) demo.png docs/_build docs/generated docs/api/generated docs/examples/*.ipynb

# Install the tested version of torch first. Its dependents would install the newest one.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@
