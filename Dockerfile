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
RUN .ci/sbom >sbom.cdx.json && rm -r .ci .npmrc
# What Node makes of the sources, kept by user: 1337, and root for the init container. Processes start in half the time and take 27 MB less.
# Node passes over what another kind of processor has made.
RUN install -d -m 1777 .compiled \
  && export NODE_COMPILE_CACHE=/countersign/.compiled \
  && for user in 0 1337; do \
    run="setpriv --reuid=$user --regid=$user --clear-groups" \
    && $run bin/countersign --help >/dev/null \
    && $run node --eval 'for (const role of ["sidecar", "control-plane", "intercept"]) import(`./cli/${role}.ts`)' \
    || exit 1; \
  done \
  && chown -R root:root . && chmod -R u=rwX,go=rX .

FROM ${NODE_IMAGE}
RUN apt-get update \
  && apt-get install -y --no-install-recommends nftables iptables \
  && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin \
  && groupadd --gid 1337 countersign \
  && useradd --uid 1337 --gid 1337 --home-dir /countersign --no-create-home --shell /usr/sbin/nologin countersign
COPY --from=build /countersign /countersign
RUN ln -s /countersign/bin/countersign /usr/local/bin/countersign
WORKDIR /countersign
ENV NODE_ENV=production NODE_COMPILE_CACHE=/countersign/.compiled
USER 1337:1337
ENTRYPOINT ["/countersign/bin/countersign"]
