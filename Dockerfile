# The driver's image: the program, bundled, on a base of Node without a shell. To build it for a registry of your own
# with SBOM and signatures, see docs/release.md. On a network with a CA of its own:
#   docker build --secret id=ca,src=ca.pem .
ARG NODE_IMAGE=docker.io/library/node:26-trixie-slim
ARG BASE_IMAGE=gcr.io/distroless/nodejs26-debian13:latest

FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS build
ENV NODE_EXTRA_CA_CERTS=/run/secrets/ca
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN --mount=type=secret,id=ca --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund
COPY . .
RUN npm run --silent build
ARG TARGETARCH
RUN --mount=type=secret,id=ca --mount=type=cache,target=/root/.npm node test/tools/image/tree.ts $TARGETARCH /out

# Builds that have this tree already replace the stage: --build-context app=DIRECTORY.
FROM scratch AS app
COPY --from=build /out/ /

FROM ${BASE_IMAGE}
COPY --from=app / /
LABEL org.opencontainers.image.title=oci-artifact-csi \
  org.opencontainers.image.description="A CSI driver that mounts OCI artifacts into Kubernetes pods" \
  org.opencontainers.image.licenses=Apache-2.0
# Mounts need root.
USER 0
# The program with the options of its daemon, which it would otherwise start a second time to have.
ENV MALLOC_ARENA_MAX=1
ENTRYPOINT ["/nodejs/bin/node", "--max-semi-space-size=4", "--no-memory-pool-share-memory-on-teardown", "--invocation-count-for-turbofan=100000", "--invocation-count-for-osr=20000", "/app/dist/main.js"]
CMD ["serve"]
