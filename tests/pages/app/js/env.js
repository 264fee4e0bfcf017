window.env = { api: "/app/data/" };
