# One image for every role: control plane, sidecar, the init container that installs interception's rules, command line.
# A mirror or credentials for npm come as a secret and stay out of the image: docker build --secret id=npmrc,src=$HOME/.npmrc .
ARG NODE_IMAGE=node:26-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /countersign
COPY package.json package-lock.json .npmrc ./
# Types and source maps are read by nobody at run time.
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc \
  npm ci --omit=dev --omit=optional --ignore-scripts \
  && find node_modules -type f \( -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.map' \) -delete
COPY . .
# Readable by the user below, whatever the umask of the checkout.
RUN .ci/sbom >sbom.cdx.json && rm -r .ci .npmrc && chmod -R u=rwX,go=rX .

FROM ${NODE_IMAGE}
RUN apt-get update \
  && apt-get install -y --no-install-recommends nftables iptables \
  && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin \
  && groupadd --gid 1337 countersign \
  && useradd --uid 1337 --gid 1337 --home-dir /countersign --no-create-home --shell /usr/sbin/nologin countersign
COPY --from=build /countersign /countersign
RUN ln -s /countersign/bin/countersign /usr/local/bin/countersign
WORKDIR /countersign
ENV NODE_ENV=production
USER 1337:1337
ENTRYPOINT ["/countersign/bin/countersign"]
