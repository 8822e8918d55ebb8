# SPDX-License-Identifier: GPL-2.0
#
# The mechanics behind the map in Kbuild: how a Rust library crate is compiled
# once and shared between modules, how its symbols are exported, and how the C
# headers become bindings. Nothing here names a crate.

# Modules of different builds must refuse to load together: the stamp enters
# every mangled symbol of the library crates, so a stale module fails with
# "unknown symbol" and never runs against another layout.
ifndef RNBD_STAMP
RNBD_STAMP := $(shell cd $(srcroot) && cat $$(find rust include rtrs -name '*.rs' -o -name '*.[ch]' | LC_ALL=C sort) | sha256sum | cut -c1-16)
endif

# What differs between kernels, for the crates below rust/: `since_7_3` is Linux 7.3 or later.
rust_drift := $(if $(filter 1,$(shell expr $(VERSION) \* 1000 + $(PATCHLEVEL) \>= 7003)),--cfg=since_7_3)

# Where the metadata of a library crate is written; $(1) is its stem with path.
rmeta = $(obj)/$(dir $(1))lib$(notdir $(1)).rmeta

# $(call rust_library,STEM): a crate whose metadata others use.
define rust_library
RUSTFLAGS_$(1).o += --emit=metadata=$$(call rmeta,$(1)) -Cmetadata=$$(RNBD_STAMP) \
	$(if $(filter rust/%,$(1)),$$(rust_drift))
rust-libraries += $(1)
clean-files += $(dir $(1))lib$(notdir $(1)).rmeta
endef

# $(call rust_uses,STEM,[NAME=]LIBRARY...): STEM may name these crates, and no others; one with
# a NAME under that. What they depend on themselves is found by -L, as a dependency only: a plain
# -L would let `extern crate` name all that lies there.
rust_name = $(notdir $(firstword $(subst =, ,$(1))))
rust_stem = $(lastword $(subst =, ,$(1)))
define rust_uses
RUSTFLAGS_$(1).o += $$(foreach l,$(2),--extern $$(call rust_name,$$(l))=$$(call rmeta,$$(call rust_stem,$$(l)))) \
	$$(foreach d,$$(sort $$(dir $$(rust-libraries))),-L dependency=$$(obj)/$$(d))
$$(obj)/$(1).o: $$(foreach l,$(2),$$(obj)/$$(call rust_stem,$$(l)).o)
endef

# $(call rust_exports,DIR,OBJECT...): exports every Rust symbol of the objects,
# and the C helpers that generic code of these crates calls from its users.
define rust_exports
CFLAGS_$(1)/exports.o := -I$$(obj)/$(1)
$$(obj)/$(1)/exports_generated.h: $$(addprefix $$(obj)/,$(2)) FORCE
	$$(call if_changed,rust_exports)
$$(obj)/$(1)/exports.o: $$(obj)/$(1)/exports_generated.h
targets += $(1)/exports_generated.h
clean-files += $(1)/exports_generated.h
endef

quiet_cmd_rust_exports = EXPORTS $@
      cmd_rust_exports = \
	$(NM) -p --defined-only $(filter-out FORCE,$^) | \
	awk '$$2 ~ /^[TRDB]$$/ && $$3 ~ /^(_R|rdx_|kx_)/ && $$3 !~ /__module_init/ \
		{ printf "EXPORT_SYMBOL_RUST_GPL(%s);\n", $$3 }' | LC_ALL=C sort -u > $@

# bindgen sees the C flags that matter to layouts, and only those: an allow
# list ages better than the kernel's own list of flags to skip.
rust_bindgen_c_flags = $(NOSTDINC_FLAGS) $(LINUXINCLUDE) \
	-include $(srctree)/include/linux/compiler_types.h \
	$(filter -D% -std=% -fms-extensions -fshort-wchar -funsigned-char -m64,$(c_flags)) \
	-w --target=x86_64-linux-gnu -fno-builtin -D__BINDGEN__ -DMODULE

quiet_cmd_rust_bindings = BINDGEN $@
      cmd_rust_bindings = \
	$(BINDGEN) $< $(shell grep -Ev '^\#|^$$' $(srcroot)/$(2)) \
		--rust-target 1.85 --use-core --ctypes-prefix ffi --no-layout-tests \
		--no-debug '.*' --enable-function-attribute-detection \
		-o $@ -- $(rust_bindgen_c_flags)
