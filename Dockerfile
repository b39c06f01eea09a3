# docker build -t betrace-sidecar:0.1.0 .
# docker run --read-only --cap-drop ALL --security-opt no-new-privileges -v betrace-data:/var/lib/betrace \
#   -e ADMIN_TOKEN="$ADMIN_TOKEN" -e BETRACE_KMS_PROVIDER=aws \
#   -e AWS_KMS_MASTER_KEY_ID=arn:aws:kms:… -e AWS_KMS_REGION=… \
#   -p 127.0.0.1:4317:4317 -p 127.0.0.1:4318:4318 -p 127.0.0.1:8080:8080 betrace-sidecar:0.1.0
#
# On call: docker exec NAME betrace diag; betrace print-config, keys list and the others read the same configuration.
# Your own settings: mount them as /etc/betrace/container.yaml (deploy/docker/container.yaml is what it has there).
# NODE_ENV is production, so the local key service refuses to start; try it out with -e NODE_ENV=development.
# Key services with an SDK of their own: --build-arg KMS_PACKAGES="@google-cloud/kms@6.3.0", or for Azure
# --build-arg KMS_PACKAGES="@azure/keyvault-keys@4.10.2 @azure/identity@4.14.1".

FROM node:24-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# npm checks the workspace's manifest against the lock file, and then leaves its packages out: the image brings its own
# Node 24. No install script runs; prebuilt binaries are packages of their own.
COPY test/toolchain/package.json test/toolchain/
RUN npm ci --workspaces=false --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json rolldown.config.ts ./
COPY src src
ARG KMS_PACKAGES=
# npm leaves out a package that is also a development dependency, even when asked for it. Unquoted on purpose: it is a
# list, and each entry brings its version.
# hadolint ignore=SC2086,DL3016
RUN npm run build \
 && npm ci --omit=dev --omit=peer --workspaces=false --ignore-scripts --no-audit --no-fund \
 && if [ -n "$KMS_PACKAGES" ]; then \
      npm pkg delete devDependencies peerDependencies peerDependenciesMeta workspaces \
      && npm install --no-save --omit=dev --ignore-scripts --no-audit --no-fund $KMS_PACKAGES; \
    fi

FROM node:24-slim
# What src/launch.js would start the sidecar a second time for, and the configuration of every command that is given none.
ENV NODE_ENV=production \
    MALLOC_ARENA_MAX=1 \
    BETRACE_CONFIG=/etc/betrace/collector-config.yaml:/etc/betrace/container.yaml
# npm is not needed to run; the folder of data is the only one that is written to. The commands are a link and no shell
# script: a shell drops variables with dots in their names, such as betrace.kms.provider.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /opt/yarn-* \
 && mkdir -p /var/lib/betrace /etc/betrace \
 && chown 1000:1000 /var/lib/betrace \
 && ln -s /app/src/launch.js /usr/local/bin/betrace
COPY --from=build /build/node_modules /app/node_modules
COPY --from=build /build/dist /app/dist
COPY src/launch.js /app/src/
# Health answers and log lines name the runbooks by these paths, and the runbooks link to the other pages.
COPY docs /app/docs
COPY package.json LICENSE /app/
COPY collector-config.yaml deploy/docker/container.yaml /etc/betrace/
WORKDIR /var/lib/betrace
VOLUME /var/lib/betrace
# By number: Kubernetes can't tell from a name that it is not root.
USER 1000:1000
EXPOSE 4317 4318 8080
# Liveness, not readiness: a next hop that is down is no reason to restart this.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8080/q/health/live').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "--max-semi-space-size=4", "--min-semi-space-size=4", "--disable-sigusr1", "/app/dist/main.js"]
# In a container others must reach the ports; put TLS or a bearer token on them where the network is not yours alone.
CMD ["run"]
