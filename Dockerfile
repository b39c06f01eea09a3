# docker build -t betrace-sidecar .
# docker run --read-only -v betrace-data:/var/lib/betrace -v $PWD/my.yaml:/etc/betrace/collector-config.yaml:ro \
#   -p 4317:4317 -p 4318:4318 -p 8080:8080 betrace-sidecar
#
# NODE_ENV is production, so the local key service refuses to start: mount a configuration with another one, or try it
# out with -e NODE_ENV=development.

FROM node:24-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# npm checks the workspace's manifest against the lock file, and then leaves its packages out: the image brings its own
# Node 24. No install script runs; prebuilt binaries are packages of their own.
COPY test/toolchain/package.json test/toolchain/
RUN npm ci --workspaces=false --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build \
 && npm ci --omit=dev --omit=peer --workspaces=false --ignore-scripts --no-audit --no-fund

FROM node:24-slim
ENV NODE_ENV=production
# npm is not needed to run; the folder of data is the only one that is written to.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /opt/yarn-* \
 && mkdir -p /var/lib/betrace /etc/betrace \
 && chown node:node /var/lib/betrace
COPY --from=build /build/node_modules /app/node_modules
COPY --from=build /build/dist /app/dist
COPY package.json LICENSE /app/
COPY collector-config.yaml /etc/betrace/
WORKDIR /var/lib/betrace
VOLUME /var/lib/betrace
USER node
EXPOSE 4317 4318 8080
# Liveness, not readiness: a next hop that is down is no reason to restart this.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8080/q/health/live').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "/app/dist/main.js"]
# In a container others must reach the ports; put TLS or a bearer token on them where the network is not yours alone.
CMD ["run", "--config", "/etc/betrace/collector-config.yaml", \
     "--set", "receivers.otlp.protocols.grpc.endpoint=0.0.0.0:4317", \
     "--set", "receivers.otlp.protocols.http.endpoint=0.0.0.0:4318", \
     "--set", "service.admin.endpoint=0.0.0.0:8080", \
     "--set", "service.telemetry.logs.encoding=json"]
