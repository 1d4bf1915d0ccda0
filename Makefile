# What a person runs here. Everything that is missing on the machine is brought by `make tools`.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help tools demo test judges stores lint fuzz bench bench-package chaos chaos-full clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

tools: ## bring nats-server, MinIO and redis-server into .probity/tools/bin
	@infra/tools.sh

demo: tools ## captures become evidence in front of a court (CAPTURES=DIR for your own, KEEP=1 keeps it running)
	@cargo build --workspace
	@CAPTURES="$(CAPTURES)" KEEP="$(KEEP)" infra/demo.sh

test: tools ## every test, over a real nats-server, Redis and MinIO started for it
	@infra/test.sh

judges: ## what leaves the platform, judged by programs that we did not write
	@infra/tools.sh judges
	@judges/run.sh

stores: ## the object store's suite against a second real store, versitygw
	@infra/stores.sh

lint: ## formatting, clippy, shell scripts, compose file; warnings denied
	@infra/lint.sh

fuzz: ## fuzz every decoder of strangers' bytes, SECONDS=600 for each
	@FUZZ_SECONDS="$(SECONDS)" infra/fuzz.sh

bench: tools ## the platform beside its floor on this machine: a table
	@infra/bench.sh

bench-package: tools ## memory of delivering one package of 2 GiB by push and by pull (MIB=2112)
	@infra/bench-package.sh

chaos: tools ## faults while a vendor submits, then the audit; five minutes (FAULT=F3, COUNT=100000, DOSE=10, FULL=1)
	@infra/chaos.sh $(FAULT) $(if $(COUNT),--count $(COUNT)) $(if $(RATE),--rate $(RATE)) $(if $(DOSE),--dose $(DOSE)) $(if $(FULL),--full)

chaos-full: tools ## every fault, scaled to an hour; FULL=1 with the doses of docs/reliability.md
	@infra/tools.sh chaos
	@infra/chaos.sh all $(if $(COUNT),--count $(COUNT)) $(if $(RATE),--rate $(RATE)) $(if $(FULL),--full)

clean: ## remove what was built and brought, and all that a demo left
	cargo clean
	rm -rf .probity
