# `make help`: the targets of a Makefile with their `## ` texts, in groups, 80 columns wide.
# groups: "Heading: target target; Heading: target"; what is in none of them comes last.
BEGIN { FS = ":.*## " }
/^[a-z0-9-]+:.*## / { text[$1] = $2; order[++count] = $1 }
END {
    n = split(groups, parts, / *; */)
    for (i = 1; i <= n; i++) {
        split(parts[i], halves, / *: */)
        show(halves[1], halves[2])
    }
    rest = ""
    for (i = 1; i <= count; i++) if (!(order[i] in shown)) rest = rest " " order[i]
    if (rest != "") show("More", rest)
}
function show(heading, names, list, m, j) {
    print heading
    m = split(names, list, " ")
    for (j = 1; j <= m; j++) put(list[j])
}
function put(name, words, m, j, line) {
    if (!(name in text)) { print "make_help.awk: there is no target " name > "/dev/stderr"; exit 1 }
    shown[name] = 1
    line = sprintf("  make %-15s", name)
    m = split(text[name], words, " ")
    for (j = 1; j <= m; j++) {
        if (length(line) + 1 + length(words[j]) > 80) { print line; line = sprintf("%22s", "") }
        line = line " " words[j]
    }
    print line
}
