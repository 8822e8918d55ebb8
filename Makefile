# SPDX-License-Identifier: GPL-2.0
#
# The doors of the house. `make help` lists them; the map is in Kbuild.

# A real host builds for the kernel it runs. The lab's targets need none of this.
KDIR ?= /lib/modules/$(shell uname -r)/build
RELEASE = $(shell cat $(KDIR)/include/config/kernel.release 2>/dev/null)
OUT = $(CURDIR)/build/$(RELEASE)
MINUTES ?= 60
LAB := scripts/lab

.DEFAULT_GOAL := modules
.PHONY: modules modules_install clean help demo test soak check test-debug \
	lab lab-modules lab-shell kernel-metadata host-tests

modules: ## the five modules for the running kernel (KDIR=... for another)
	@scripts/kdir-check.sh $(KDIR)
	@mkdir -p $(OUT)
	$(MAKE) -C $(KDIR) M=$(CURDIR) MO=$(OUT) modules

# A KDIR without the kernel's own key cannot sign, and one without System.map has its
# own depmod skipped; modprobe needs the latter.
SIGN_KEY = $(shell sed -n 's/^CONFIG_MODULE_SIG_KEY="\(.*\)"/\1/p' $(KDIR)/include/config/auto.conf 2>/dev/null)
SIGN = $(if $(wildcard $(abspath $(KDIR)/$(SIGN_KEY))),,CONFIG_MODULE_SIG_ALL=)

modules_install: modules ## install them below /lib/modules, and run depmod
	$(MAKE) -C $(KDIR) M=$(CURDIR) MO=$(OUT) $(SIGN) DEPMOD=true modules_install
	depmod -b $(INSTALL_MOD_PATH)/ $(RELEASE)

clean: ## remove what was built in this clone; caches outside stay
	rm -rf build tests/host/target tests/hostile/build

kernel-metadata: ## prepare a KDIR with Rust metadata for the running Debian kernel (or KERNEL=...)
	@$(LAB)/host-kdir.sh $(KERNEL)

demo: ## the main job on a stock kernel in a VM: map, use, unmap a remote disk
	@scripts/demo.sh

test: ## host tests, VM tests on the stock kernel, interop with the C modules
	@scripts/test.sh quick

test-debug: ## the VM tests on a kernel with KASAN, lockdep and kmemleak
	@scripts/test.sh debug

soak: ## the same suites for MINUTES=60, for before a release
	@MINUTES=$(MINUTES) scripts/test.sh soak

check: ## formatting, lints, the three walls; no warning is allowed
	@scripts/check.sh

host-tests: ## the pure crates with cargo, inside the lab root
	@scripts/test.sh host

lab: ## build what the VM tests need (about 3 minutes on an empty machine)
	@$(LAB)/root.sh
	@$(LAB)/kernel.sh
	@$(LAB)/initramfs.sh

lab-modules: lab ## the modules for the lab's kernel, in build/<kernel release>/
	@$(LAB)/modules.sh

lab-shell: lab-modules ## a shell in a VM with the modules available
	@$(LAB)/shell.sh

help: ## this list
	@awk -F':.*## ' '/^[a-z_-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
