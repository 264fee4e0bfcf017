-- What a user would write: the policy on, limits and counters on; the access log is off, as the
-- peers' logs are. Variants of the herald cases change the number of workers, the log and the state.
listen  = { "127.0.0.1:@H2C@", { "127.0.0.1:@TLS@", tls = true } }
tls     = { { sni = "*", cert = "@CERT@", key = "@KEY@" } }
user    = "nobody"
workers = @WORKERS@
state   = "@RUN@/state"
clients = { table = "256MiB" }
log     = { access = "@ACCESS@", error = "@RUN@/errors.log" }
admin   = { socket = "@RUN@/admin.sock" }
site {
  names    = { "*" },
  root     = "@SITE@",
  policies = { @POLICIES@ },
  routes   = { ["/proxied/*"] = { origin = "http://127.0.0.1:@ORIGIN@", cache = false } },
}
