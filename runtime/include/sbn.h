/* The functions of libsbn.so, the operators for onnxruntime, and of libsbn_native, which runs
 * models without it. Those under "Both" are in either.
 *
 * Whoever runs a model through onnxruntime needs none of them by name: give the
 * library's path to RegisterCustomOpsLibrary_V2 (C), SessionOptions.registerCustomOpLibrary
 * (Java, Kotlin) or SessionOptions.register_custom_ops_library (Python), which call
 * RegisterCustomOps. A program that links with the library calls it itself. */
#ifndef SBN_H
#define SBN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* libsbn.so */

struct OrtApiBase;
struct OrtSessionOptions;
struct OrtStatus;

/* Registers the operators of domain "sbn" with the sessions made from `options`.
 * `base` is onnxruntime's OrtGetApiBase(), of version 1.17 or newer. Returns NULL, or
 * an error that the caller releases. May be called for any number of options; the
 * library must stay loaded as long as their sessions live, and sees to that itself
 * when it was loaded by dlopen. */
struct OrtStatus* RegisterCustomOps(struct OrtSessionOptions* options,
                                    const struct OrtApiBase* base);

/* Both, and the module for browsers, which has all below but sbn_run_cycles, sbn_model_open and what is for
 * classifiers of pictures */

/* The version of sbn-deploy that the library was built from. */
const char* sbn_version(void);

/* The name of the kernel set that sessions made from now on use. */
const char* sbn_isa(void);

/* Whether this machine can run the kernel set of that name: 1 or 0. */
int sbn_isa_available(const char* name);

/* Chooses the kernel set of sessions made from now on; the empty name stands for the
 * fastest of this machine, which is also the choice without a call. Returns 0, or 1 for an
 * unknown name, or 2 for a kernel set that this machine cannot run. */
int sbn_set_isa(const char* name);

/* Keeps the core busy for about so many of its cycles and returns how many they were: a
 * chain of dependent instructions. The time it takes tells the clock. */
int64_t sbn_run_cycles(int64_t cycles);

/* libsbn_native
 *
 * A model is loaded from an .onnx file of `sbn export` with the kernel set in use, and does not
 * change: any number of threads may share it. A context runs it for one thread at a time, and must
 * not outlive it. Where a function fails, sbn_last_error says why. docs/c-api.md has an example. */

/* The version of what follows: functions are added to it, and none changes. */
#define SBN_ABI 1
int sbn_abi(void);

/* Why the last function that failed in this thread did: one line. */
const char* sbn_last_error(void);

typedef struct sbn_model sbn_model;
typedef struct sbn_context sbn_context;

/* Types of elements; the numbers are those of ONNX. */
enum {
  SBN_FLOAT32 = 1,
  SBN_UINT8 = 2,
  SBN_INT8 = 3,
  SBN_INT16 = 5,
  SBN_INT32 = 6,
  SBN_INT64 = 7,
  SBN_BOOL = 9, /* a byte, 0 or 1 */
  SBN_UINT64 = 13
};
enum { SBN_MAX_RANK = 8 };

/* What an input or output is. A size that is left open, which is that of the batch, is -1. */
typedef struct {
  const char* name; /* as long as the model lives */
  int32_t type;
  int32_t rank;
  int64_t shape[SBN_MAX_RANK];
} sbn_tensor;

/* Loads a file from memory, which is not needed afterwards, or from a path. Returns NULL where
 * the file is damaged, or has what is not supported. */
sbn_model* sbn_model_load(const void* data, size_t size);
sbn_model* sbn_model_open(const char* path);
void sbn_model_free(sbn_model* model);

/* How many inputs and outputs there are, and what each is: 0, or 1 where there is no such. */
size_t sbn_model_inputs(const sbn_model* model);
size_t sbn_model_outputs(const sbn_model* model);
int sbn_model_input(const sbn_model* model, size_t index, sbn_tensor* tensor);
int sbn_model_output(const sbn_model* model, size_t index, sbn_tensor* tensor);

/* The metadata under a key, or NULL; "sbn" has the JSON that docs/exported-file.md describes. */
const char* sbn_model_metadata(const sbn_model* model, const char* key);

/* Bytes of memory that a context needs to run a batch, with the file's own number of samples; -1
 * where there can be no such batch. */
int64_t sbn_model_arena_bytes(const sbn_model* model, int64_t batch);

sbn_context* sbn_context_new(const sbn_model* model);
void sbn_context_free(sbn_context* context);

/* Lets a context use this memory in place of its own, as long as it lives; NULL for its own again.
 * What sbn_model_arena_bytes says is enough. */
void sbn_context_set_memory(sbn_context* context, void* memory, size_t bytes);

/* Runs on so many threads from now on, 1 to 256: the caller's, and others that the context starts
 * here and keeps. Without this it is the caller's alone. No answer depends on how many there are.
 * Each thread but the caller's may need memory beside the arena, which the next run allocates.
 * Returns 0, or 1 where there are not so many, and the context has the caller's alone. */
int sbn_context_set_threads(sbn_context* context, int threads);

/* Gives an input of images: so many elements of its type as its shape has, one after the other,
 * read when the context runs, from where they are. Returns 0, or 1 where there is no such input. */
int sbn_context_set_input(sbn_context* context, size_t index, const void* data);

/* Sets an input that is an int64 number, such as the seed of noise. It keeps its value; without
 * this it is the file's default, where there is one. Returns 0, or 1 where there is no such. */
int sbn_context_set_number(sbn_context* context, size_t index, int64_t number);

/* Runs a batch of so many images. Memory is allocated when a context runs for the first time, or
 * more than before. Returns 0, or 1 where that failed. */
int sbn_context_run(sbn_context* context, int64_t batch);

/* An output of the last run, which lives until the next one; NULL where there is none. What it is
 * goes to `tensor`, with its sizes, unless that is NULL. */
const void* sbn_context_output(const sbn_context* context, size_t index, sbn_tensor* tensor);

/* For classifiers of pictures: what their metadata say of the way from a decoded picture to the
 * input, and from probabilities to an answer. */

/* A picture as a decoder gives it. */
typedef struct {
  const uint8_t* pixels; /* rows from the top */
  int32_t width, height; /* 1 to 65536 */
  int32_t channels;      /* bytes of a pixel: 1 grey, 2 grey and alpha, 3 red, green and blue, 4 all */
  int32_t orientation;   /* EXIF's, 1 to 8; others mean upright */
} sbn_picture;

/* Brings a picture to the model's size, colours and range, as training did, bit for bit: one image
 * of pixels [height, width, channels], 0 to `pixel_max` of the metadata. Returns 0, or 1 where the
 * model takes no pictures, or so many bytes are not one image. */
int sbn_model_fit(const sbn_model* model, const sbn_picture* picture, uint8_t* pixels,
                  size_t bytes);

/* Makes one image of the model's first input of such pixels: the same bytes, or floats
 * [channels, height, width], normalised. Returns 0, or 1 as above and where a pixel is too large. */
int sbn_model_normalise(const sbn_model* model, const uint8_t* pixels, void* input, size_t bytes);

/* The name of a class, in UTF-8, as far as it fits. Returns 0, or 1 where it has none. */
int sbn_model_class(const sbn_model* model, size_t index, char* name, size_t size);

/* Calibrates the probabilities of one image in place, where the file has a calibration; so many
 * noise samples were averaged, 0 for the file's own number. Returns 0, or 1 where it is damaged. */
int sbn_model_calibrate(const sbn_model* model, int64_t samples, float* probabilities,
                        size_t classes);

#ifdef __cplusplus
}
#endif

#endif
