-- What learned makes of what clients were seen to ask for.
return {
  args = { max = 3 },
  learned = {
    ["/"] = {
      { path = "/site.css", as = "style" },
      { path = "/app.js", as = "script" },
      { path = "/api/menu", as = "fetch", crossorigin = true },
      "/more.png",
    },
  },
  { "pushes what follows the page, in the order in which clients ask for it, but no more than max",
    push = { "/site.css", "/app.js", "/api/menu" },
    verdicts = { ["/more.png"] = "not_proposed" },
  },
  { "leaves out what the client holds",
    client = { holds = { "/app.js" } },
    push = { "/site.css", "/api/menu" },
    verdicts = { ["/app.js"] = "held" },
  },
  { "says that a page is not known",
    request = "/other.html",
    push = {},
    nothing = "unknown",
  },
}
