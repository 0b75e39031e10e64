const refuse = () => {
  throw new Error(
    "danfojs-node asked for a remote file; this course reads local files only: fetch it first, then read it",
  );
};
module.exports = refuse;
module.exports.get = refuse;
