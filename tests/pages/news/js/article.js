document.body.dataset.read = "1";
