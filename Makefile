# `make run` and `make test` work on a fresh machine: they make .venv and install into it first.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 8000
ROLE ?= admin
STAGE ?= prod

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SOURCES := app.py chalicelib infra bench tests

.PHONY: run test check package demo key backups restore bench dynamodb-local clean

run: $(INSTALLED)
	@exec $(BIN)/python -m infra.local --port $(PORT)

test: $(INSTALLED) dynamodb-local
	$(BIN)/pytest -n 3 --dist worksteal

check: $(INSTALLED)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/pytest tests/unit/test_architecture.py

package: $(INSTALLED)
	$(BIN)/python -m infra.package --stage $(STAGE) build

demo: $(INSTALLED)
	@$(BIN)/python -u -m infra.demo

# make key ROLE=admin [NAME=...] [PORT=8000 | STACK=the deployed stack's name]
key: $(INSTALLED)
	@$(BIN)/python -m infra.key --role $(ROLE) $(if $(NAME),--name "$(NAME)") \
		$(if $(STACK),--stack "$(STACK)",--port $(PORT))

# make backups STACK=the deployed stack's name
backups: $(INSTALLED)
	@$(BIN)/python -m infra.restore --list $(if $(STACK),--stack "$(STACK)")

# make restore BACKUP=a stamp, or latest [STACK=the deployed stack's name] [WAIT=no, where nothing runs]
restore: $(INSTALLED)
	@$(BIN)/python -u -m infra.restore --backup "$(BACKUP)" $(if $(STACK),--stack "$(STACK)") \
		$(if $(filter no,$(WAIT)),--no-wait)

bench: $(INSTALLED)
	$(BIN)/python -m bench

# The race tests need DynamoDB Local; where it cannot be had they are skipped, and this says so.
dynamodb-local: $(INSTALLED)
	@$(BIN)/python -m infra.dynamodb_local

clean:
	rm -rf build .local .mypy_cache .ruff_cache .hypothesis .chalice/deployments
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Belfry needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
