# syntax=docker/dockerfile:1
# penstock-worker, the data plane: consumes, calls, commits.
#   docker build -f deploy/docker/worker.Dockerfile -t penstock/worker:0.1.0 .
#
# The last stage is empty but for the program, the C library it is linked with, the public certificate authorities and one line of
# configuration: no shell, no package manager, no user database. `lab images` makes the same content without a container engine.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# OpenSSL and librdkafka are compiled from the crates' own sources (five minutes, once: the caches keep them).
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p penstock-worker \
    && install -D target/release/penstock-worker /image/penstock-worker
# The shared libraries that the program names, each under the path where its loader looks for it.
RUN strip --strip-debug /image/penstock-worker \
    && ldd /image/penstock-worker | grep -o '/[^ ]*' | xargs -I{} cp --parents --dereference {} /image \
    && cp --parents --dereference /etc/ssl/certs/ca-certificates.crt /image \
    && echo 'hosts: files dns' > /image/etc/nsswitch.conf \
    && install -d -m 1777 /image/tmp

FROM scratch
COPY --from=build /image /
USER 65532:65532
ENTRYPOINT ["/penstock-worker"]
