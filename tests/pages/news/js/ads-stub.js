window.ads = [];
