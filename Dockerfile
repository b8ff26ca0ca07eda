# The image of the partner API: the binary `lmn` on Debian, as an unprivileged user. The root may be read-only.
#
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" --build-arg REVISION_DATE="$(git log -1 --format=%cs)" \
#       -t lmn-partner-api .
#
# The version of rust-toolchain.toml. That file is not copied: rustup would download components for development.
ARG RUST_VERSION=1.95.0
ARG DEBIAN=trixie

FROM rust:${RUST_VERSION}-slim-${DEBIAN} AS build
WORKDIR /build
# Queries are checked against .sqlx, because the build has no database.
ENV SQLX_OFFLINE=true
# Dependencies are built in a separate layer, for an empty program, so that it is rebuilt only when they change. The
# benchmarks stay empty: cargo only requires that the files of the manifest exist.
COPY Cargo.toml Cargo.lock ./
COPY crates/demo-catalogue/Cargo.toml crates/demo-catalogue/
COPY crates/dev-postgres/Cargo.toml crates/dev-postgres/
COPY crates/docs-site/Cargo.toml crates/docs-site/
RUN mkdir benches src crates/demo-catalogue/src crates/dev-postgres/src crates/docs-site/src \
    && touch benches/catalogue.rs benches/import.rs benches/orders.rs \
    && touch src/lib.rs crates/demo-catalogue/src/lib.rs crates/dev-postgres/src/lib.rs crates/docs-site/src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cp src/main.rs build.rs \
    && cargo build --locked --release --bin lmn \
    && rm -r src crates
COPY .sqlx .sqlx
COPY config config
COPY crates crates
COPY docs docs
COPY migrations migrations
COPY src src
# The pages of the documentation are rendered by the build.
COPY build.rs CHANGELOG.md ./
# The commit that `lmn --version` prints: there is no repository here.
ARG REVISION=unknown
ARG REVISION_DATE=unknown
COPY templates templates
# cargo compares modification times, and the files may be older than the build of the empty program.
RUN touch build.rs src/lib.rs src/main.rs crates/demo-catalogue/src/lib.rs crates/dev-postgres/src/lib.rs \
        crates/docs-site/src/lib.rs \
    && LMN_COMMIT="$REVISION" LMN_COMMIT_DATE="$REVISION_DATE" cargo build --locked --release --bin lmn

FROM debian:${DEBIAN}-slim
# No packages beyond libc and libgcc. The TLS root certificates for PostgreSQL and for webhooks are in the binary.
COPY --from=build /build/target/release/lmn /usr/local/bin/lmn
# For `lmn dev`, which stores its key here. A new volume gets the same owner.
RUN install -d -o 65532 -g 65532 -m 0700 /var/lib/lmn
WORKDIR /var/lib/lmn
USER 65532:65532
# The partners' listener is reachable from outside the container, the operator's only from inside by default.
ENV LMN_SERVER__LISTEN=0.0.0.0:8080 \
    LMN_OPERATOR__LISTEN=127.0.0.1:9090
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["lmn", "healthcheck"]
ENTRYPOINT ["lmn"]
CMD ["serve"]
ARG REVISION=unknown
LABEL org.opencontainers.image.title="LMN partner API" \
      org.opencontainers.image.description="The API through which LMN's partners browse Korean used vehicles and order them" \
      org.opencontainers.image.vendor="LMN" \
      org.opencontainers.image.licenses="LicenseRef-LMN-Proprietary" \
      org.opencontainers.image.revision="${REVISION}"
