/* Arrays by name in a pair of files: NAME.json says, one array a line, what is where in NAME.bin. */
#ifndef ARRAYS_H
#define ARRAYS_H

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the data files are little-endian: swap the bytes in arrays_read and arrays_write"
#endif

enum { MAX_RANK = 8, MAX_TEXT = 256, MAX_LINE = 8192 };
enum { FLOAT32, FLOAT64, FLOAT16, INT64, INT32, BOOL, DTYPES };
static const char *const dtype_names[DTYPES] = {"float32", "float64", "float16", "int64", "int32", "bool"};
static const size_t dtype_sizes[DTYPES] = {4, 8, 2, 8, 4, 1};

typedef struct {
    int dtype, rank;
    long long shape[MAX_RANK];
    size_t bytes;
    void *data;
} array;

/* An array of a file. `limits` are the largest errors of its elements; without data: `allowed` is, of each. */
typedef struct {
    char case_name[MAX_TEXT], part[MAX_TEXT], name[MAX_TEXT];
    int stream;
    double allowed;
    array values, limits;
} entry;

/* One line that says what is wrong, and exit code 2. */
#if defined(__GNUC__)
__attribute__((noreturn, format(printf, 1, 2)))
#endif
static inline void fail(const char *format, ...) {
    char line[4096];
    va_list words;
    va_start(words, format);
    vsnprintf(line, sizeof line, format, words);
    va_end(words);
    for (char *at = line; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f) *at = '?';
    fprintf(stderr, "model: %s\n", line);
    exit(2);
}

static inline int dtype_of(const char *name) {
    int dtype = 0;
    while (dtype < DTYPES && strcmp(name, dtype_names[dtype])) dtype++;
    if (dtype == DTYPES) fail("dtype %s is none of float32, float64, float16, int64, int32, bool", name);
    return dtype;
}

/* How many numbers are in the dimensions from `first` to before `last`. */
static inline long long count_of(const array *a, int first, int last) {
    long long count = 1;
    for (int i = first; i < last; i++) count *= a->shape[i];
    return count;
}

static inline size_t bytes_of(const array *a) {
    return (size_t)count_of(a, 0, a->rank) * dtype_sizes[a->dtype];
}

/* ---- The reader ---- */

/* Where the value of a key begins in a line of JSON; NULL where the key is not there. */
static inline const char *value_of(const char *line, const char *key) {
    size_t length = strlen(key);
    for (const char *at = line; *at; at++) {
        if (*at != '"') continue;
        const char *name = ++at;
        while (*at && *at != '"') at += *at == '\\' && at[1] ? 2 : 1;
        if (!*at) break;
        const char *next = at + 1 + strspn(at + 1, " \t");
        if (*next == ':' && (size_t)(at - name) == length && !memcmp(name, key, length))
            return next + 1 + strspn(next + 1, " \t");
    }
    return NULL;
}

/* A code point in UTF-8: how many bytes. */
static inline int put_utf8(unsigned code, char *out) {
    int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned first[] = {0, 0xc0, 0xe0, 0xf0};
    for (int i = more; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(first[more] | code);
    return more + 1;
}

/* The string of a key, its escapes undone: whether there is one. */
static inline int text_of(const char *line, const char *key, char *out) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *at = value_of(line, key), *known;
    size_t length = 0;
    if (!at || *at++ != '"') return 0;
    while (*at && *at != '"') {
        unsigned code = 0, low = 0;
        int used = 0;
        if (length + 5 > MAX_TEXT) return 0;
        if (*at != '\\') {
            out[length++] = *at++;
        } else if (at[1] && (known = strchr(from, at[1]))) {
            out[length++] = to[known - from];
            at += 2;
        } else {
            if (sscanf(at, "\\u%4x%n", &code, &used) != 1 || used != 6) return 0;
            at += used;
            if (code >> 10 == 0x36 && sscanf(at, "\\u%4x%n", &low, &used) == 1 && used == 6) {
                code = 0x10000 + ((code & 0x3ff) << 10) + (low & 0x3ff);
                at += used;
            }
            length += (size_t)put_utf8(code, out + length);
        }
    }
    out[length] = 0;
    return *at == '"';
}

/* One line of the header: whether it is whole and says what fits together. Offsets: of the values, and
   of the limits, or -1. */
static inline int entry_of(const char *line, entry *e, long long offsets[2]) {
    char dtype[MAX_TEXT];
    long long bytes = -1;
    const char *at = value_of(line, "shape"), *number;
    if (!at || *at++ != '[' || !text_of(line, "case", e->case_name) || !text_of(line, "part", e->part) ||
        !text_of(line, "name", e->name) || !text_of(line, "dtype", dtype))
        return 0;
    array *a = &e->values;
    a->dtype = dtype_of(dtype);
    for (a->rank = 0; *(at += strspn(at, " ,")) && *at != ']'; a->rank++) {
        int used = 0;
        if (a->rank == MAX_RANK || sscanf(at, "%lld%n", &a->shape[a->rank], &used) != 1) return 0;
        if (a->shape[a->rank] < 0 || a->shape[a->rank] > 1LL << 32 || count_of(a, 0, a->rank) > 1LL << 24) return 0;
        at += used;
    }
    if (!(number = value_of(line, "offset")) || sscanf(number, "%lld", &offsets[0]) != 1) return 0;
    if (!(number = value_of(line, "bytes")) || sscanf(number, "%lld", &bytes) != 1) return 0;
    if ((number = value_of(line, "allowed"))) sscanf(number, "%lf", &e->allowed);
    if ((number = value_of(line, "stream"))) sscanf(number, "%d", &e->stream);
    a->bytes = bytes_of(a);
    offsets[1] = -1;
    if ((number = value_of(line, "allowed_offset"))) {
        if (sscanf(number, "%lld", &offsets[1]) != 1 || offsets[1] < 0) return 0;
        e->limits = *a;
        e->limits.dtype = a->dtype == FLOAT64 ? FLOAT64 : FLOAT32;
        e->limits.bytes = bytes_of(&e->limits);
    }
    return offsets[0] >= 0 && bytes >= 0 && a->bytes == (size_t)bytes;
}

/* Reads the numbers of an array: whether they are all there. */
static inline int array_read(FILE *data, long long offset, array *a) {
    return (a->data = malloc(a->bytes + 1)) && !fseek(data, (long)offset, SEEK_SET) &&
           fread(a->data, 1, a->bytes, data) == a->bytes;
}

/* The path of a file beside another one. */
static inline void beside(const char *path, const char *name, char *out, size_t size) {
    const char *slash = strrchr(path, '/');
    int length = slash ? (int)(slash - path) + 1 : 0;
    if ((size_t)snprintf(out, size, "%.*s%s", length, path, name) >= size) fail("%s: too long a path", path);
}

/* Every array of a pair of files; gives how many. `arrays_free` frees them. */
static inline int arrays_read(const char *header, entry **entries) {
    char line[MAX_LINE], text[MAX_TEXT], path[4096];
    FILE *file = fopen(header, "r"), *data = NULL;
    int count = 0;
    if (!file) fail("cannot read %s: give the header of a pair of files, as input.json is one", header);
    *entries = NULL;
    while (fgets(line, sizeof line, file)) {
        if (!data) {
            if (!text_of(line, "format", text) || strcmp(text, "rnnbench-cases-1") || !text_of(line, "data", text))
                fail("%s: its first line must say the format rnnbench-cases-1 and the data file, as that of input.json does", header);
            beside(header, text, path, sizeof path);
            if (!(data = fopen(path, "rb"))) fail("cannot read %s, the data file of %s: it must be beside it", path, header);
        }
        if (!value_of(line, "case")) continue;
        *entries = (entry *)realloc(*entries, (size_t)(count + 1) * sizeof **entries);
        if (!*entries) fail("%s: no memory for its arrays", header);
        entry *e = &(*entries)[count++];
        long long offsets[2] = {0, -1};
        memset(e, 0, sizeof *e);
        if (!entry_of(line, e, offsets)) fail("%s: array %d is damaged: one line says all of it", header, count);
        if (!array_read(data, offsets[0], &e->values) || (offsets[1] >= 0 && !array_read(data, offsets[1], &e->limits)))
            fail("%s: array %d (%s) lies beyond the end of %s", header, count, e->name, path);
    }
    if (!data) fail("%s is empty: give the header of a pair of files, as input.json is one", header);
    fclose(file);
    fclose(data);
    return count;
}

static inline void arrays_free(entry *entries, int count) {
    for (int k = 0; k < count; k++) {
        free(entries[k].values.data);
        free(entries[k].limits.data);
    }
    free(entries);
}

/* ---- Numbers ---- */

/* A number of an array, of whatever dtype. */
static inline double number_at(const array *a, long long i) {
    switch (a->dtype) {
        case FLOAT32: return ((const float *)a->data)[i];
        case FLOAT64: return ((const double *)a->data)[i];
        case INT64: return (double)((const long long *)a->data)[i];
        case INT32: return ((const int *)a->data)[i];
        case BOOL: return ((const unsigned char *)a->data)[i];
        default: break;
    }
    unsigned half = ((const unsigned short *)a->data)[i], exponent = half >> 10 & 31, fraction = half & 1023;
    double size = exponent == 31 ? (fraction ? (double)NAN : (double)INFINITY)
                  : exponent     ? ldexp(1024 + fraction, (int)exponent - 25)
                                 : ldexp(fraction, -24);
    return half >> 15 ? -size : size;
}

/* A line: the name, dtype and shape of an array, and its first numbers. */
static inline void array_print(const char *name, const array *a) {
    long long count = count_of(a, 0, a->rank);
    for (; *name; name++) putchar((unsigned char)*name < 0x20 || *name == 0x7f ? '?' : *name);
    printf(" %s[", dtype_names[a->dtype]);
    for (int d = 0; d < a->rank; d++) printf("%s%lld", d ? ", " : "", a->shape[d]);
    printf("]:");
    for (long long i = 0; i < count && i < 6; i++) printf(" %.5g", number_at(a, i));
    puts(count > 6 ? " ..." : "");
}

/* ---- The writer ---- */

static inline void put_text(FILE *file, const char *text) {
    fputc('"', file);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fprintf(file, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            fprintf(file, "\\u%04x", (unsigned)*text);
        else
            fputc(*text, file);
    }
    fputc('"', file);
}

/* Writes arrays as the outputs of one case: HEADER, and beside it the same name with .bin. */
static inline void arrays_write(const char *header, const char *const *names, const array *arrays, int count) {
    char path[4096];
    const char *slash = strrchr(header, '/'), *name = slash ? slash + 1 : header, *dot = strrchr(name, '.');
    int stem = (int)(dot && dot != name ? dot - header : (long)strlen(header));
    if (snprintf(path, sizeof path, "%.*s.bin", stem, header) >= (int)sizeof path) fail("%s: too long a path", header);
    if (!strcmp(path, header)) fail("%s: the header must not end in .bin, as the data file does", header);
    FILE *file = fopen(header, "w"), *data = fopen(path, "wb");
    if (!file || !data) fail("cannot write %s: give another output file", file ? path : header);
    fputs("{\"format\": \"rnnbench-cases-1\", \"data\": ", file);
    put_text(file, path + (name - header));
    fputs(", \"arrays\": [", file);
    size_t offset = 0;
    int bad = 0;
    for (int i = 0; i < count; i++) {
        const array *a = &arrays[i];
        fprintf(file, "%s\n{\"case\": \"result\", \"part\": \"out\", \"name\": ", i ? "," : "");
        put_text(file, names[i]);
        fprintf(file, ", \"dtype\": \"%s\", \"shape\": [", dtype_names[a->dtype]);
        for (int d = 0; d < a->rank; d++) fprintf(file, "%s%lld", d ? ", " : "", a->shape[d]);
        fprintf(file, "], \"offset\": %lu, \"bytes\": %lu, \"allowed\": 0, \"stream\": 0}", (unsigned long)offset,
                (unsigned long)a->bytes);
        bad |= fwrite(a->data, 1, a->bytes, data) != a->bytes;
        offset += a->bytes;
    }
    fputs("\n]}\n", file);
    bad |= fclose(data) != 0;
    if ((fclose(file) != 0) | bad) fail("cannot write all of %s: is the disk full?", header);
}

#endif
