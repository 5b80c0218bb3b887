# The README's two commands, `make audit` and `make test`, do all the set-up first; done once, that takes no time.

BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help setup test audit check lint format types axe guide picture clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "PYTHON=python3.12 chooses the interpreter, TORCH_INDEX=URL the index of PyTorch's builds (CPU only, say),"
	@echo "ARGS='-k statistics' goes on to pytest, ARGS='--help' to the demonstration."

setup: ## prepare system, .venv and packages; nothing where that is done
	@scripts/setup.sh

test: setup ## run the tests
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest --numprocesses=auto --dist=loadfile $(ARGS)

audit: setup ## run the demonstration audit and write its report
	@status=0; $(BIN)/wolfhound demo $(ARGS) || status=$$?; \
	case $$status in \
	0) echo "The demonstration is done, every criterion met: see runs/demonstration/report.pdf" ;; \
	1) echo "The demonstration is done. Some criteria are not met, as is to be expected: its classifiers can be fooled." ; \
	   echo "See runs/demonstration/report.pdf" ;; \
	3) echo "The demonstration is done, some findings inconclusive or not tested: see runs/demonstration/report.pdf" ;; \
	*) exit $$status ;; \
	esac

check: lint types test ## lint, types and tests: what a change must pass

lint: setup ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: setup ## mypy in strict mode
	@$(BIN)/mypy

format: setup ## bring all files into ruff's format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

axe: ## fetch axe-core, with which tests look at the HTML report in Chromium
	@mkdir -p .cache/axe && cd .cache/axe && npm pack --silent axe-core@4 >/dev/null && \
	tar -xzf axe-core-*.tgz --strip-components=1 package/axe.min.js package/LICENSE && rm axe-core-*.tgz && ls axe.min.js

picture: setup ## draw the README's picture of a report from the demonstration's
	@$(BIN)/python scripts/report_picture.py runs/demonstration/report.pdf docs/images/report-page.png

guide: setup ## build the user guide into build/guide (installs the extra docs once)
	@$(BIN)/python -c 'import material, mkdocstrings_handlers.python' 2>/dev/null || \
	$(BIN)/python -m pip install --quiet --constraint constraints.txt 'mkdocs-material>=9.6' 'mkdocstrings[python]>=0.29'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict && echo "The guide is in build/guide/index.html"

clean: ## remove what tests and builds leave behind (not .venv, not runs)
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
