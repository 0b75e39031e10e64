// The book's only script: draws each interactive figure when it comes into view. Without it the static pictures stay.
(() => {
  "use strict";
  const plotlyAddress = new URL("plotly.min.js", document.currentScript.src).href;
  let loading;

  /** Loads the plotting library once, when the first figure needs it. */
  function loadPlotly() {
    loading ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = plotlyAddress;
      script.onload = () => resolve(window.Plotly);
      script.onerror = () => reject(new Error(`cannot load ${plotlyAddress}`));
      document.head.append(script);
    });
    return loading;
  }

  /** On a narrow screen the title stands above the plot as text that wraps, and the legend below it. */
  function fitNarrow(figure, layout) {
    const title = typeof layout.title === "string" ? layout.title : layout.title?.text;
    if (title) {
      const caption = document.createElement("figcaption");
      caption.textContent = new DOMParser().parseFromString(
        title.replace(/<br\s*\/?>/gi, " "),
        "text/html",
      ).body.textContent;
      figure.prepend(caption);
    }
    return {
      ...layout,
      title: undefined,
      margin: { ...layout.margin, l: 48, r: 12, t: 24 },
      legend: { ...layout.legend, orientation: "h", x: 0, xanchor: "left", y: -0.2, yanchor: "top" },
    };
  }

  async function draw(figure) {
    const live = figure.querySelector(".plot-live");
    try {
      const plotly = await loadPlotly();
      const { data, layout, frames, config } = JSON.parse(figure.querySelector("script").textContent);
      figure.classList.add("drawing");
      const fitted = { ...layout, autosize: true, width: undefined };
      await plotly.newPlot(live, {
        data,
        layout: live.clientWidth < 560 ? fitNarrow(figure, fitted) : fitted,
        frames: frames ?? [],
        // The book needs no network, so the button that sends a figure to a server is left out.
        config: { ...config, responsive: true, displaylogo: false, showSendToCloud: false },
      });
      figure.classList.add("drawn");
    } catch (error) {
      console.error(`figure ${figure.id}: ${error.message}`);
    } finally {
      figure.classList.remove("drawing");
    }
  }

  /** How far below and above the screen a figure is drawn already, in pixels. */
  const margin = 400;
  const isNear = ({ top, bottom }) => bottom > -margin && top < window.innerHeight + margin;
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        observer.unobserve(target);
        draw(target);
      }
    },
    { rootMargin: `${margin}px` },
  );
  for (const figure of document.querySelectorAll("figure.plot")) {
    if (isNear(figure.getBoundingClientRect())) draw(figure);
    else observer.observe(figure);
  }
})();
