return {
  args = { max = 2 },
  request = "/api/orders",
  response = {
    mime = "application/json",
    links = {
      { path = "/api/orders/1", rel = "item" },
      { path = "/api/customers/9", rel = "related" },
      { path = "/api/orders/2", rel = "item" },
      { path = "/docs/orders", rel = "help" },
    },
  },
  { "the first related resources go along", push = { "/api/orders/1", "/api/customers/9" } },
  { "what the client has is not sent again",
    client = { holds = { "/api/customers/9" } }, push = { "/api/orders/1" },
  },
  { "an error has no company", response = { status = 404 }, push = {} },
  { "pages are not the API", request = "/about", push = {} },
}
