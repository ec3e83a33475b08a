# Six verbs. Each one builds .venv first when it is missing or out of date.
PYTHON ?= python3
BIN := .venv/bin
# Files of tests run side by side, one a core: see tests/conftest.py for their order.
PYTEST := $(BIN)/python -m pytest tests -n auto --maxprocesses 4 --dist loadfile \
	--no-loadscope-reorder

.PHONY: demo test check campaign docs clean

demo: .venv/ready
	$(BIN)/metarl demo

test: .venv/ready
	$(PYTEST)

check: .venv/ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p metarl
	$(PYTEST) -m "not slow"

# Damaged run folders and odd command lines: about an hour.
campaign: .venv/ready
	$(BIN)/python benchmarks/campaign.py --folders 5000 --commands 10000 \
		--out results/campaign

docs: .venv/ready
	$(BIN)/python -m sphinx -W --keep-going -q -b html -c docs . docs/_build/html
	@echo "Written: docs/_build/html/index.html"

clean:
	rm -rf .venv build dist docs/_build docs/_api *.egg-info .mypy_cache .pytest_cache .ruff_cache

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt "torch==2.13.0"
	$(BIN)/pip install --quiet -c constraints.txt -e ".[test]"
	touch $@

.venv/ready-dev: .venv/ready
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@
