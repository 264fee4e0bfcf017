-- What budget lets through: here scan proposes.
return {
  policies = { "scan", { "budget", max_bytes = "64KiB", max_count = 3 } },
  assets = { ["/"] = { "/a.css", "/b.js", "/c.js", "/d.png" } },
  { "lets through what fits",
    files = { ["/a.css"] = "10KiB", ["/b.js"] = "20KiB", ["/c.js"] = "30KiB", ["/d.png"] = 1 },
    push = { "/a.css", "/b.js", "/c.js" },
    verdicts = { ["/d.png"] = "max_count" },
  },
  { "skips what does not fit, and goes on with what does",
    files = { ["/a.css"] = "10KiB", ["/b.js"] = "60KiB", ["/c.js"] = "30KiB", ["/d.png"] = 1 },
    push = { "/a.css", "/c.js", "/d.png" },
    verdicts = { ["/b.js"] = "over_budget" },
  },
  { "does not count what the client holds",
    client = { holds = { "/a.css", "/b.js" } },
    files = { ["/a.css"] = "60KiB", ["/b.js"] = "60KiB", ["/c.js"] = "60KiB", ["/d.png"] = 1 },
    push = { "/c.js", "/d.png" },
    expect = function(got)
      assert(got.verdicts["/a.css"] == "held")
    end,
  },
}
