export const route = () => location.pathname;
