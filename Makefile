# Everything runs in .venv, made on first use; nothing is installed anywhere else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help demo test check format picture bench-host bench-conversation fuzz scale clean

help:
	@echo "make demo    a real program works on this repository; watch it, then open what it delivers"
	@echo "make test    every test that Python packages allow"
	@echo "make check   format, lint, types, and the direction of imports"
	@echo "make format  rewrite the code the way 'make check' wants it"
	@echo "make bench-host  speed and cost of hosts beside OpenSSH, scp, rsync and others, measured here"
	@echo "make bench-conversation  speed and memory of a conversation beside claude-agent-sdk, measured here"
	@echo "make fuzz    give every reader of the outside bytes that nobody thought of; SECONDS=60 each, TARGET=... for one"
	@echo "make picture  docs/survival.png: a session, a link that is cut, a driver that is killed"
	@echo "make scale   many sessions in one driver process, SESSIONS=1000 of them; see docs/scale.md"
	@echo "make clean   remove the virtual environment and caches"

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4))' || { \
	  echo "Python 3.11.4 or newer is needed; 'make PYTHON=python3.12 ...' names another one" >&2; exit 1; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/has-%: $(VENV)/made pyproject.toml
	@echo "installing optio-agents[$*] into $(VENV)"
	@$(INSTALL) --editable '.[$*]'
	@touch $@

demo: $(VENV)/has-demo
	@$(BIN)/optio run -- $(BIN)/python examples/repository_report.py
	@echo
	@echo "Next, kill a driver. What it drives, a program that counts for a minute, goes on without it:"
	@echo "  $(BIN)/optio run --detach -- examples/slow_count.sh"
	@echo "  $(BIN)/optio ls           # shows its ID, and the PID of its driver"
	@echo "  kill -9 PID"
	@echo "  $(BIN)/optio attach ID    # goes on where that driver stopped, to the end"
	@echo "  $(BIN)/optio logs ID      # every number is there, once"

test: $(VENV)/has-test
	@$(BIN)/python -m pytest --numprocesses auto

check: $(VENV)/has-check $(VENV)/has-test
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/has-check
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# BENCH="put get --json figures.json" chooses rows and says where to save them.
bench-host: $(VENV)/has-bench
	@$(BIN)/python benchmarks/hosts.py $(BENCH)

bench-conversation: $(VENV)/has-bench
	@$(BIN)/python benchmarks/conversation.py $(BENCH)

# SECONDS is for each target; TARGET="log_lines exports" chooses some; KEEP=--keep writes the committed corpus anew.
SECONDS ?= 60
fuzz: $(VENV)/has-test $(VENV)/has-fuzz
	@$(BIN)/python tests/fuzz/run.py --seconds $(SECONDS) $(KEEP) $(TARGET)

picture: $(VENV)/has-demo $(VENV)/has-bench
	@$(BIN)/python benchmarks/survival.py docs/survival.png

SESSIONS ?= 1000
scale: $(VENV)/has-bench
	@$(BIN)/python benchmarks/sessions_at_once.py --sessions $(SESSIONS) $(BENCH)

clean:
	rm -rf $(VENV) .fuzz dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
