# Two commands are all the set-up: "make demo" and "make test". Each makes .venv and installs what it needs.
#
#   make demo                 run node, player and recorder on the synthetic drive; pictures in out/
#   make demo DRIVE=path      the same on a rosbag2, a video or a folder of images
#   make test                 lint, imports, types and tests, these in two processes; WORKERS=0: in one
#   make tables               write the tables of docs/node.md anew from the code

DRIVE ?= synthetic
OUT ?= out
PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
READY := $(VENV)/.ready
TEST_READY := $(VENV)/.test_ready
INSTALL := -m pip install --quiet --constraint constraints.txt --editable
# The wheels of ROS 2 set library paths once per process tree; neither another environment's nor those of a sourced ROS
# may leak in.
RUN := env -u _ROS_WHEELS_BOOTSTRAP_COMPLETE -u LD_LIBRARY_PATH -u PYTHONPATH -u AMENT_PREFIX_PATH

.PHONY: demo test tables clean

demo: $(READY)
	$(RUN) $(VENV)/bin/seg_ros demo $(DRIVE) --out $(OUT) $(DEMO_OPTIONS)

test: $(TEST_READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(RUN) $(VENV)/bin/mypy
	$(RUN) $(VENV)/bin/pytest --numprocesses $(WORKERS) --dist loadfile $(PYTEST_OPTIONS)

tables: $(TEST_READY)
	$(RUN) $(VENV)/bin/python -m seg_ros.ros.reference docs/node.md

$(READY): setup.py constraints.txt
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "python3-venv is missing; installing it"; \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -q && apt-get install -qy python3-venv; \
	  else sudo apt-get update -q && sudo apt-get install -qy python3-venv; fi; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) $(VENV)/bin/python $(INSTALL) '.[ros,cpu]'
	@touch $@

$(TEST_READY): $(READY)
	$(RUN) $(VENV)/bin/python $(INSTALL) '.[ros,cpu,export,tensorrt-rtx,ray,dev]'
	@touch $@

clean:
	rm -rf $(VENV) out build install log
