# The image of the partner API: the binary `lmn` on Debian, as a user without rights, on a root that may be read-only.
#
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" -t lmn-partner-api .
#
# The version is that of rust-toolchain.toml, which stays outside: rustup would fetch what only development needs.
ARG RUST_VERSION=1.95.0
ARG DEBIAN=trixie

FROM rust:${RUST_VERSION}-slim-${DEBIAN} AS build
WORKDIR /build
# Queries are checked against .sqlx: no database is there.
ENV SQLX_OFFLINE=true
# Dependencies in a layer of their own, built for an empty program; it is made anew when they change, not the source.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && touch src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --locked --release --bin lmn \
    && rm -r src
COPY .sqlx .sqlx
COPY config config
COPY docs docs
COPY migrations migrations
COPY src src
# The files may be older than the empty program's build, and cargo goes by their times.
RUN touch src/lib.rs src/main.rs \
    && cargo build --locked --release --bin lmn

FROM debian:${DEBIAN}-slim
# No certificates: the roots for TLS, to PostgreSQL and to webhooks, are in the binary. No package beyond the base's libc and libgcc.
COPY --from=build /build/target/release/lmn /usr/local/bin/lmn
# For `lmn dev`, which keeps its key here; a new volume takes over the owner.
RUN install -d -o 65532 -g 65532 -m 0700 /var/lib/lmn
WORKDIR /var/lib/lmn
USER 65532:65532
# Partners' requests come from outside the container; the operator's stay in it, unless this is set otherwise.
ENV LMN_SERVER__LISTEN=0.0.0.0:8080 \
    LMN_OPERATOR__LISTEN=127.0.0.1:9090
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["lmn", "healthcheck"]
ENTRYPOINT ["lmn"]
CMD ["serve"]
ARG REVISION=unknown
LABEL org.opencontainers.image.title="LMN partner API" \
      org.opencontainers.image.description="The API through which LMN's partners browse Korean used cars and order them" \
      org.opencontainers.image.vendor="LMN" \
      org.opencontainers.image.licenses="LicenseRef-LMN-Proprietary" \
      org.opencontainers.image.revision="${REVISION}"
