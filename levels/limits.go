package levels

// maxMappingFile bounds a mapping file in bytes; the built-in one has some 16 KiB.
const maxMappingFile = 1 << 20
