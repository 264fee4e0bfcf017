window.consent = "none";
