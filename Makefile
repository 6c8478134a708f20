# make demo    set up everything, measure an ImageNet network, run the whole study on built-in photographs
# make test    set up everything, run the tests and the examples in the docstrings
# make test-cluster    the tests on a real Slurm, started for them and stopped after; skipped where it is not installed
# make lint    style and types;  make lock  pin the packages anew;  make clean  remove what these made, but no study

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# as run.py: threads of two programs on the same cores must not spin
export GOMP_SPINCOUNT ?= 1000

.PHONY: demo test test-cluster lint lock clean
.DELETE_ON_ERROR:

demo: $(READY)
	$(BIN)/python run.py experiment=real_network
	$(BIN)/python run.py 'report.further_studies=[real_network]'

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --doctest-modules stats metrics tests -n auto --dist worksteal

test-cluster: $(READY)
	$(BIN)/python -m pytest -m cluster tests/cluster

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy run.py tasks study datamodules networks lightning_modules methods metrics stats report callbacks hydra_plugins tests benchmarks

$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "error: Python 3.11, 3.12 or 3.13 is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	rm -rf .venv
	if command -v uv >/dev/null; then \
		uv venv --quiet --python "$$(command -v $(PYTHON))" .venv \
		&& VIRTUAL_ENV=.venv uv pip install --quiet --require-hashes -r requirements.lock; \
	else \
		$(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock; \
	fi
	touch $(READY)

lock:
	$(PYTHON) -m venv build/lock && build/lock/bin/python -m pip install --quiet uv
	build/lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --all-extras \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links -o requirements.lock pyproject.toml

clean:
	rm -rf .venv build .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
