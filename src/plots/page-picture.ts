/** Stands for static-picture.ts in a bundle for browsers (the field `browser` of package.json): a page draws figures itself. */
export async function staticPicture(): Promise<never> {
  throw new Error("a page makes no static pictures: it draws its figures with Plotly");
}
