# make demo   the whole life of one machine on a loop device (root)
# make build  the programs, their man pages and completions, in target/release/ and target/manual/
# make install  all of that below PREFIX (/usr/local); DESTDIR puts another root before it
# make test   everything this machine can check (root)
# make advisories  known defects of what is linked; their database is fetched
# make fuzz   every fuzz target for FUZZ_SECONDS (20) each
# make bench  Ferric beside what else writes images, into docs/benchmarks.md (root; half an hour on a quiet machine)
# make bench-listing  listing of 500, 1000 and 2000 disks
# make bench-conductor  what a conductor stands: machines, heartbeats, lists, files beside nginx
# make soak   lives of SOAK_MACHINES (300) for SOAK_SECONDS (3600) under a conductor that is killed again and again
# make bench-ironic  agents under a real Ironic, beside the Python one, into the same file (root; 10 minutes)
# make static     the agent as one file without shared libraries
# make container  its container image, in podman's storage and target/container/ (root)
# make ramdisk    kernel, initramfs, EFI program and ISO that run it, in target/ramdisk/; with KEY=… CERT=… (PEM) the EFI
#                 program is signed with them, ARGUMENTS=… adds kernel arguments
# make packages   Debian and RPM packages for x86-64 and arm64 and the conductor's image, in target/packages/; all of them tried (root)
# make release    packages, images and ramdisk, what is in them, and checksums, in target/dist/ (root)
# make live-system  what the tests boot for a CoreOS live system, in target/live-system/
# make grub-image   the partition image that the tests deploy to BIOS machines, in target/grub-image/ (root)

.PHONY: build arm64 install fuzz soak setup check advisories unit test demo bench bench-conductor bench-ironic bench-listing static container ramdisk packages release live-system grub-image

target := x86_64-unknown-linux-gnu
arm64 := aarch64-unknown-linux-gnu
# Where cargo builds, as an absolute path: cargo and the scripts below start in different folders.
export CARGO_TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
out := $(CARGO_TARGET_DIR)
static_agent := $(out)/$(target)/release/ferric-agent

setup:
	@.ci/setup

check: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	.ci/deny bans licenses sources

advisories:
	.ci/deny advisories

unit: setup container ramdisk live-system grub-image
	cargo build --workspace --bins
	CRASH_STRIDE=1 SOAK_SECONDS=20 SOAK_MACHINES=100 cargo test --workspace

test: check unit

build: setup
	cargo build --release --workspace --bins
	rm -rf $(out)/manual
	$(out)/release/ferric-manual $(out)/manual

PREFIX ?= /usr/local
programs := ferric-agent ferric-ignition conductor-stub

# root may know no cargo (sudo): then it installs what `make build` has made.
install: $(if $(shell command -v cargo),build)
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -m 0755 $(programs:%=$(out)/release/%) "$(DESTDIR)$(PREFIX)/bin"
	cd $(out)/manual && find . -type f -exec install -D -m 0644 {} "$(DESTDIR)$(PREFIX)/share/{}" \;

demo: build
	$(out)/release/conductor-stub demo

# As small as it gets: it is a third of the ramdisk.
static: setup
	OPENSSL_STATIC=1 CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 \
	CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static" \
		cargo build --release --target $(target) --package ferric-agent

container: static
	container/build amd64 $(static_agent) $(out)/container

ramdisk: static
	container/ramdisk/build amd64 $(static_agent) $(out)/ramdisk $(KEY) $(CERT)

# For other machines than this one, static.
arm64: setup
	.ci/arm64 cargo build --release --target $(arm64) $(programs:%=--package %)

packages: build arm64
	rm -rf $(out)/packages
	$(MAKE) install DESTDIR=$(out)/packages/amd64 PREFIX=/usr
	cp -a $(out)/packages/amd64 $(out)/packages/arm64
	install -m 0755 $(programs:%=$(out)/$(arm64)/release/%) $(out)/packages/arm64/usr/bin
	packaging/build amd64 $(out)/packages/amd64 $(out)/packages
	packaging/build arm64 $(out)/packages/arm64 $(out)/packages
	packaging/image $(out)/packages/conductor-stub_*_amd64.deb $(out)/packages
	packaging/check $(out)/packages

release: packages container ramdisk
	rm -rf $(out)/dist
	install -D -m 0644 -t $(out)/dist $(addprefix $(out)/packages/,*.deb *.rpm NOTICE conductor-stub.oci.tar) \
		$(out)/container/ferric-agent.oci.tar $(out)/container/ferric-agent.cdx.json \
		$(addprefix $(out)/ramdisk/,vmlinuz initramfs.img ferric.efi ferric.iso esp.img)
	container/sbom $(target) conductor-stub >$(out)/dist/conductor-stub.cdx.json
	cd $(out)/dist && sha256sum * >SHA256SUMS

live-system: setup
	tests/live_system/build "$$(.ci/peers)/bin/coreos-installer" $(out)/live-system

grub-image: setup
	tests/grub_image/build $(out)/grub-image

bench: setup
	.ci/peers
	cargo build --release --package ferric-agent
	python3 tests/bench/bench.py --agent $(out)/release/ferric-agent $(BENCH)

bench-listing: setup
	cargo bench --package ferric-hardware --bench listing

bench-conductor: setup
	cargo bench --package conductor-stub --bench load -- $(BENCH)

soak: setup
	SOAK_SECONDS=$(or $(SOAK_SECONDS),3600) SOAK_MACHINES=$(or $(SOAK_MACHINES),300) \
		cargo test --package conductor-stub --test soak -- --nocapture

bench-ironic: static
	.ci/peers
	python3 tests/bench/cycle.py --agent $(static_agent)

fuzz: setup
	@.ci/fuzz
