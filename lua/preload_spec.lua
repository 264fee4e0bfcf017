-- What preload makes of a response's Link fields.
return {
  response = {
    links = {
      { path = "/app.css", rel = "preload", as = "style" },
      { path = "/app.mjs", rel = "modulepreload" },
      { path = "/later.js", rel = "preload", as = "script", nopush = true },
      { path = "https://cdn.example.net", rel = "preconnect" },
      { path = "https://cdn.example.net/x.css", rel = "preload", as = "style" },
      { path = "/next.html", rel = "prefetch" },
    },
  },
  { "pushes preloads and modules, hints nopush and preconnect, and leaves the rest alone",
    push = { "/app.css", "/app.mjs" },
    hint = { "/later.js", "https://cdn.example.net" },
    verdicts = { ["/next.html"] = "not_proposed" },
  },
  { "does not push what the site lacks",
    files = { ["/app.css"] = 2000, ["/later.js"] = 10 },
    push = { "/app.css" },
    verdicts = { ["/app.mjs"] = "not_found" },
  },
  { "proposes nothing when the response has no links",
    response = { links = {} },
    push = {},
  },
}
