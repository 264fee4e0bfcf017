return {
  assets = {
    ["/"] = { { path = "/news.css", blocking = true }, "/lead.jpg", "/second.jpg", "/ticker.js" },
  },
  { "pushes style, lead picture and script, hints the other pictures",
    push = { "/news.css", "/lead.jpg", "/ticker.js" },
    hint = { "/second.jpg", "https://live.example.com" },
  },
  { "a reader who reloads gets no pictures",
    request = { headers = { ["cache-control"] = "max-age=0" } },
    push = { "/news.css", "/ticker.js" },
    verdicts = { ["/lead.jpg"] = "no pictures", ["/second.jpg"] = "skipped" },
  },
  { "articles are left alone", request = "/2026/11/flood", push = {}, hint = {} },
}
