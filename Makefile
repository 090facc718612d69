# make run: set up and start the server.  make test: what CI runs.  make help: the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DOMAIN ?= example.test
FUZZ_SECONDS ?= 600

.DEFAULT_GOAL := help
.PHONY: help setup run test test-long fuzz check format messages clean

help: ## Show what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

$(VENV)/.run: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "A3Mailer needs Python 3.11 or newer")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

setup: $(VENV)/.run ## Make the virtual environment and the database, with a first domain, administrator and mailbox
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py quickstart --domain $(DOMAIN)

run: setup ## Set up, then start the server (Ctrl-C ends it)
	@exec $(BIN)/python manage.py runmailserver --log-format console --banner

check: $(VENV)/.dev ## Formatting, lint, types, layers, migrations
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	A3MAILER_DATA_DIR=$$(mktemp -d) $(BIN)/python manage.py makemigrations --check --dry-run

test: $(VENV)/.dev ## Everything that CI runs: installs the peers it needs (as root on Debian), checks, tests
	@PYTHON=$(BIN)/python tests/run

test-long: $(VENV)/.dev ## What takes longer: kill rounds, both databases whole
	@PYTHON=$(BIN)/python tests/run --long

fuzz: $(VENV)/.dev ## Fuzz IMAP, POP3 and messages for FUZZ_SECONDS each: guided by coverage where atheris has a wheel, or with mutations
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --upgrade --target .fuzz \
		'atheris~=3.0' || echo 'atheris is not to be had: mutations only'
	PYTHONPATH=.fuzz $(BIN)/python tests/fuzz/imap.py --seconds $(FUZZ_SECONDS)
	PYTHONPATH=.fuzz $(BIN)/python tests/fuzz/pop3.py --seconds $(FUZZ_SECONDS)
	PYTHONPATH=.fuzz $(BIN)/python tests/fuzz/message.py --seconds $(FUZZ_SECONDS)

format: $(VENV)/.dev ## Format the source
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

messages: $(VENV)/.dev ## Collect and compile the translations
	$(BIN)/python manage.py makemessages -l zh_Hans --no-location --no-obsolete --ignore .venv --ignore tests --ignore var
	$(BIN)/python manage.py compilemessages --ignore .venv

clean: ## Remove the virtual environment and caches; data in var/ stay
	rm -rf $(VENV) .fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
