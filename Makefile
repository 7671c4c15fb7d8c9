# Every target is one line over vindima, DVC or pytest; the first use of any sets up .venv from the lock.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$python && break; done)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
ready := .venv/.ready
compile := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate
as_root := $(if $(filter 0,$(shell id -u)),--allow-root)

.DEFAULT_GOAL := run
.PHONY: run test test-services test-engines test-deploy lab reports site serve image screenshots bench ablation verify refresh freeze fields postman lint lock help

run: $(ready) ## Run the pipeline (dvc repro) and say where the results are
	@vindima run

test: $(ready) ## Run every test that needs no network
	@PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 OMP_NUM_THREADS=1 pytest -p xdist.plugin -p _hypothesis_pytestplugin -m "not services and not engines and not deploy and not committed" -n auto --dist loadfile --no-loadscope-reorder

test-services: $(ready) ## Run the slower tests: a browser (chromium), the image (buildah), Postman (npm), Celery (redis-server), 20,000 cases and hostile clients for the service, object stores, the benchmark notebook, sktime's checks
	@uv pip install --python .venv/bin/python --quiet --require-hashes -r deploy/locks/celery.txt
	@pytest -m services

test-engines: $(ready) ## Run the tests of other engines than DuckDB: a PostgreSQL server (Debian's postgresql) and a Spark cluster (default-jre-headless) of their own, BigQuery's language
	@uv pip install --python .venv/bin/python --quiet --require-hashes -r deploy/locks/warehouse.txt -r deploy/locks/spark.txt
	@pytest -m engines

test-deploy: $(ready) ## Read what GitHub, GitLab and clouds are given as they would (npm; check-jsonschema), run the DAG in an Airflow of its own and the job of Spark (default-jre-headless)
	@uv pip install --python .venv/bin/python --quiet --require-hashes -r deploy/locks/validators.txt -r deploy/locks/spark.txt
	@pytest -m deploy

lab: $(ready) ## Open the notebooks in JupyterLab, notebooks/explore.ipynb first
	@echo "Open notebooks/explore.ipynb first; the stages as they last ran are in reports/runs" && jupyter lab $(as_root) --LabApp.default_url=/lab/tree/notebooks/explore.ipynb

reports: $(ready) ## Serve the reports, on http://localhost:8866
	@vindima switch && vindima reports

site: $(ready) ## Write the reports as files into site/, for any web server or to send by mail
	@vindima run --until site && echo "The reports as files: site/index.html"

serve: $(ready) ## Start the service, on http://localhost:8000 (needs VINDIMA_JWT_SECRET)
	@vindima switch && vindima serve

image: ## Build the images, with the set that make left (docker): the service, and with the whole project beside it
	@docker build -t vindima .
	@docker build -t vindima:pipeline --target pipeline .

screenshots: $(ready) ## Take the READMEs' pictures of the reports, in a browser (chromium), from the set that make left
	@python -m benchmarks.screenshots

bench: $(ready) ## Measure speed and memory, side by side; the table goes to reports/bench.md
	@python -m benchmarks

ablation: $(ready) ## What each ingredient of the model is worth, by taking it out: a table, in about ten minutes
	@python -m benchmarks.ablation

verify: $(ready) ## Force every stage but the ready-made methods, whose searches end elsewhere on another processor, and compare with dvc.lock
	@dvc repro --force --single-item check collect tidy prices backtest forecast evaluate site && git diff --exit-code --stat -- dvc.lock && pytest -q -m committed && echo "every forced stage gave what dvc.lock says"

refresh: $(ready) ## Collect from the live site, then run the pipeline
	@vindima collect --source live && dvc commit --force collect && vindima run

freeze: $(ready) ## Write the raw zone into data/figures, as the next bundled vintage
	@vindima freeze

fields: $(ready) ## Write the READMEs' tables of fields and datapackage.json from the contracts
	@python -m vindima.etl.fields

postman: $(ready) ## Write the Postman collection from the description of the service (needs npm, and the set that make left)
	@python -m deploy.postman

lint: $(ready) ## Format and check the code
	@ruff format && ruff check --fix && mypy && lint-imports

lock: $(ready) ## Resolve the dependencies again: requirements.txt, what the image holds of it, the extras, and environment.yml
	@$(compile) --extra s3 --extra gs --extra dev --upgrade --output-file requirements.txt pyproject.toml
	@$(compile) --extra s3 --extra gs --constraints requirements.txt --upgrade --output-file deploy/locks/pipeline.txt pyproject.toml
	@for group in build celery service spark validators warehouse; do $(compile) --group $$group --constraints requirements.txt --upgrade --output-file deploy/locks/$$group.txt || exit; done
	@for group in airflow clouds; do $(compile) --group $$group --upgrade --output-file deploy/locks/$$group.txt || exit; done
	@python deploy/environment.py

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' Makefile

$(ready): requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: expected Python 3.11, 3.12 or 3.13 on the PATH and found none; name one with: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -m venv .venv
	@python -m pip install --quiet --disable-pip-version-check "$$(grep -o '^uv==[^ ]*' requirements.txt)"
	@uv pip sync --python .venv/bin/python --quiet --compile-bytecode --require-hashes requirements.txt
	@uv pip install --python .venv/bin/python --quiet --no-deps --no-build-isolation --editable .
	@touch $@
