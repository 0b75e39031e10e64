/** MIME type of a Plotly figure: JSON of `data`, `layout`, and where there are any `frames` and `config`. */
export const plotlyMime = "application/vnd.plotly.v1+json";
