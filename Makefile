# Everything runs in .venv, made on first use; nothing is installed anywhere else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help demo test check format picture bench bench-host bench-conversation recordings soak bench-store soak-full fuzz scale clean

help:
	@echo "make demo              a real program works on this repository; watch it, then open what it delivers"
	@echo "make test              every test that Python packages allow"
	@echo "make check             format, lint, types, and the direction of imports"
	@echo "make format            rewrite the code the way 'make check' wants it"
	@echo
	@echo "make soak MINUTES=10   break everything at random, and look whether the promises held; SEED= repeats one"
	@echo "make soak-full         the numbers of docs/reliability.md: cuts, cancels, deadlines, memory; about an hour"
	@echo "make fuzz SECONDS=60   give every reader of the outside bytes that nobody thought of; TARGET= for one"
	@echo
	@echo "make bench             every figure of speed and cost beside what people use otherwise: docs/figures.md"
	@echo "make bench-host, bench-conversation, bench-store some of them, with more detail"
	@echo "make scale SESSIONS=1000 many sessions in one driver process; see docs/scale.md"
	@echo "make picture           docs/survival.png: a session, a link that is cut, a driver that is killed"
	@echo "make recordings        record the sessions that replay in the tests anew, with the real Claude Code"
	@echo "make clean             remove the virtual environment and caches"

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4))' || { \
	  echo "Python 3.11.4 or newer is needed; 'make PYTHON=python3.12 ...' names another one" >&2; exit 1; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# In one command with ours, since the optio-host of the index would put another package optio_host in its place.
$(VENV)/has-%: $(VENV)/made pyproject.toml packaging/optio-host/pyproject.toml
	@echo "installing optio-agents[$*] into $(VENV)"
	@$(INSTALL) --editable '.[$*]' --editable packaging/optio-host
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

# Some ten minutes. BENCH="recover help" measures some rows, and saves nothing.
bench: $(VENV)/has-bench
	@$(BIN)/python benchmarks/bench.py $(or $(BENCH),--json docs/figures.json --markdown docs/figures.md)

# BENCH="put get --json figures.json" chooses rows and says where to save them.
bench-host: $(VENV)/has-bench
	@$(BIN)/python benchmarks/hosts.py $(BENCH)

bench-conversation: $(VENV)/has-bench
	@$(BIN)/python benchmarks/conversation.py $(BENCH)

bench-store: $(VENV)/has-bench
	@$(BIN)/python benchmarks/store.py $(BENCH)

# SECONDS and RUNS are for each target; TARGET="log_lines exports" chooses some; KEEP=--keep writes the corpus anew.
SECONDS ?= 60
fuzz: $(VENV)/has-test $(VENV)/has-fuzz
	@$(BIN)/python tests/fuzz/run.py --seconds $(SECONDS) $(if $(RUNS),--runs $(RUNS)) $(KEEP) $(TARGET)

picture: $(VENV)/has-demo $(VENV)/has-bench
	@$(BIN)/python benchmarks/survival.py docs/survival.png

recordings: $(VENV)/has-test
	@cd tests/agents && PYTHONPATH=.. ../../$(BIN)/python record_sessions.py

# SEED= begins with that episode, PLAN= runs one that a failed run has printed, STORE= is the URL of another store;
# SOAK="--keep" leaves what is to be looked at.
MINUTES ?= 10
soak: $(VENV)/has-test
	@$(BIN)/python tests/soak/soak.py --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(STORE),--store '$(STORE)') \
	  $(if $(PLAN),--episodes 1 --plan '$(PLAN)') $(SOAK)

# The numbers in docs/reliability.md: about an hour for those that stand here.
CUTS ?= 10000
CANCELS ?= 1000
soak-full: $(VENV)/has-test
	@$(BIN)/python tests/soak/cuts.py --cuts $(CUTS)
	@$(BIN)/python tests/soak/cancels.py --cancels $(CANCELS)
	@$(BIN)/python tests/soak/bounds.py

SESSIONS ?= 1000
scale: $(VENV)/has-bench
	@$(BIN)/python benchmarks/sessions_at_once.py --sessions $(SESSIONS) $(BENCH)

clean:
	rm -rf $(VENV) .fuzz dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
