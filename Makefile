# What a person runs here. Everything that is missing on the machine is brought by `make tools`.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help tools demo test lint fuzz bench clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' Makefile

tools: ## bring nats-server, MinIO and redis-server into .probity/tools/bin
	@infra/tools.sh

demo: tools ## captures become evidence in front of a court (CAPTURES=DIR for your own, KEEP=1 keeps it running)
	@cargo build --package probityd --package probity --package probity-ceremony
	@CAPTURES="$(CAPTURES)" KEEP="$(KEEP)" infra/demo.sh

test: tools ## every test, over a real nats-server, Redis and MinIO started for it
	@infra/test.sh

lint: ## formatting and clippy, warnings denied
	@infra/lint.sh

fuzz: ## fuzz every decoder of strangers' bytes, SECONDS=600 for each
	@FUZZ_SECONDS="$(SECONDS)" infra/fuzz.sh

bench: tools ## measure the promises on this machine
	@infra/bench.sh

clean: ## remove what was built and brought, and all that a demo left
	cargo clean
	rm -rf .probity
