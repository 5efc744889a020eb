console.log("tiny", require("tiny"), require("./built.json").by);
