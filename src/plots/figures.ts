/**
 * Every kind of figure of the course. A builder takes records or results and gives plain data; `show` puts it on the page.
 */
export { lines, points } from "./curves";
export type { LinesOptions, PointSeries, PointsOptions, Series } from "./curves";
export { runningMean, trainingFigure } from "./training";
export type { Metric, TrainingFigureOptions, TrainingRecord } from "./training";
export { bars, distribution } from "./bars";
export type { Bar, BarGroup, BarsOptions, DistributionOptions, TokenDistribution } from "./bars";
export { calibration, frontier } from "./quality";
export type { CalibrationBin, CalibrationOptions, FrontierOptions, FrontierSeries } from "./quality";
export { heatmap } from "./grids";
export type { HeatmapOptions } from "./grids";
export { tree } from "./tree";
export type { TreeNode, TreeOptions } from "./tree";
export { slider } from "./slider";
export type { SliderOptions } from "./slider";
