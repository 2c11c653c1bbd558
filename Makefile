# The journeys. Longer shell is in deploy/*.sh; NAME lets several local systems run side by side.
SHELL := /bin/bash
BIN := .venv/bin
NAME ?= demo
PROXIES ?= 1
# Most of the time a live test waits, so several run side by side on two cores.
PROCESSES := 4
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install venv up down status console test check lint unit bench fuzz chaos lock

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: install venv ## start a local cluster and the services, and ask it three questions
	@$(BIN)/fab local.up --name '$(NAME)' --proxies '$(PROXIES)'

down: venv ## stop all of it and leave nothing behind
	@$(BIN)/fab local.down --name '$(NAME)'

status: venv ## show every node and service
	@$(BIN)/fab local.status --name '$(NAME)'

console: venv ## open the operators' page: prints a link for a browser on this machine
	@$(BIN)/fab local.console --name '$(NAME)'

test: ## install what is missing, and run every test: unit, live, and where root may, machines
	@bash deploy/install.sh test
	@bash deploy/venv.sh
	@$(BIN)/pytest --numprocesses $(PROCESSES)

check: lint unit ## lint, types and unit tests: what a commit must pass

lint: venv ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

unit: venv ## the unit tests
	@$(BIN)/pytest tests/unit

bench: ## measure the whole path beside its peers, and what its stages cost
	@bash deploy/install.sh bench
	@bash deploy/venv.sh
	@$(BIN)/python -m benchmark
	@$(BIN)/python -m benchmark.judge

fuzz: install venv ## try generated statements on a real server, for ten minutes
	@$(BIN)/python -m tests.fuzz

chaos: install venv ## kill and pause at random under writes for ten minutes, and count what was lost or doubled
	@$(BIN)/python -m tests.chaos

install: ## install the Debian packages that are missing
	@bash deploy/install.sh

venv: ## make .venv as requirements.lock says, when it has changed
	@bash deploy/venv.sh

lock: ## pin the newest versions that requirements*.txt allow
	@bash deploy/lock.sh
