# make search   a budgeted search on real data, no download
# make test     the fast tests;  make test TESTS=tests/proxies   some of them
# make test-long   those that take most of a second or more;  make test-processes   those that start Python again
# make test-slow   the slow ones
# make lint     ruff and mypy;   make perf        speed and memory, as tables under docs/
# make figures  the pictures of README and tutorials;   make notebooks   the notebooks of the examples, from the scripts
# make docs     the site, under build/site;   make docs-serve   the same, followed in a browser
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: search test test-long test-processes test-slow lint format perf figures notebooks docs docs-serve clean

search: $(VENV)/.core
	$(BIN)/po-nas search configs/quickstart.yaml

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --max-worker-restart 0 $(TESTS)

test-long: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'long and not slow and not processes' -n auto --dist loadfile --max-worker-restart 0 $(TESTS)

test-processes: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'processes and not slow' -n auto --dist loadfile --max-worker-restart 0 $(TESTS)

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow --timeout 1800 -o faulthandler_timeout=2400 $(TESTS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

perf: $(VENV)/.dev
	$(BIN)/python perf/speed.py

figures: $(VENV)/.core
	rm -rf runs/quickstart
	$(BIN)/po-nas search configs/quickstart.yaml --out runs/quickstart
	cp runs/quickstart/report/regret.png docs/quickstart.png
	$(BIN)/python docs/draw_front.py

notebooks: $(VENV)/.dev
	$(BIN)/jupytext --quiet --to ipynb --update examples/*.py

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "the site is in build/site/index.html"

docs-serve: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

$(VENV)/.core: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "po-nas needs Python 3.11 or newer; set PYTHON=…")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing po-nas and its dependencies into $(VENV) (once, some minutes)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.docs: $(VENV)/.core
	@echo "installing what the site needs (once)"
	@$(PIP) -e '.[docs]'
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@echo "installing what tests and linters need (once)"
	@$(PIP) -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist runs .pytest_cache .mypy_cache .ruff_cache .hypothesis
