# Two commands: `make repro` and `make test`. Either makes the environment first.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
# Bytecode is what makes TensorFlow start in 4 s instead of 10.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: repro test lint bench mlflow lock schema clean

repro: $(VENV)/installed
	python -m pipeline.check
	dvc repro
	@echo
	@echo "The report:  file://$(CURDIR)/reports/index.html"
	@echo "The numbers: make mlflow, then http://127.0.0.1:5000"

test: $(VENV)/installed
	python -m pytest -q -n auto --maxprocesses 4 --dist loadfile

lint: $(VENV)/installed
	ruff format --check .
	ruff check .
	mypy
	snakefmt --check Snakefile
	snakemake --lint --configfile tests/fixtures/snakemake_config.json

mlflow: $(VENV)/installed
	mlflow server --host 127.0.0.1 --port 5000 \
	  --backend-store-uri "$$(python -m pipeline.tracking)"

bench: $(VENV)/installed
	python -m benchmarks

# What is made from params.yaml and committed: the editors' schema, and README's picture.
schema: $(VENV)/installed
	python -m pipeline.check --write-schema
	python -m pipeline.report --dag docs/dag.svg

# The installer comes first, by hash too; it then installs the rest in seconds and compiles it.
$(VENV)/installed: requirements.lock requirements-installer.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(not ((3, 11) <= v < (3, 13)) and \
	  f"Python {v[0]}.{v[1]} is not supported: install 3.11 or 3.12, or name one: make PYTHON=...")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  -r requirements-installer.lock
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode \
	  requirements.lock
	@touch $@

lock: $(VENV)/installed
	uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	  --generate-hashes --no-header --no-annotate --extra dev \
	  --output-file requirements.lock pyproject.toml

# What can be made again; downloads, DVC's cache and MLflow's database stay.
clean:
	[ ! -d .work ] || find .work -mindepth 1 -maxdepth 1 ! -name fetch -exec rm -rf {} +
	rm -rf .snakemake reports/assets reports/index.html
