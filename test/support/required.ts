/** What a run must not be without: ATELIER_REQUIRE=redis,chromium,radosgw,registry */
export const required = (process.env.ATELIER_REQUIRE ?? '').split(',').filter(Boolean);

export const isRequired = (name: string) => required.includes(name);
