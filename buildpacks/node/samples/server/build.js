require("fs").writeFileSync("built.json", JSON.stringify({ by: require("tiny-dev") }));
