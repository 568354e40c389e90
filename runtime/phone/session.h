// A model that is loaded, and the calls that it is given.
#pragma once

#include "native/handles.h"

namespace sbn::phone {

// A file of little-endian 64-bit integers and bytes, which sbn_deploy/remote/calls.py writes:
//
//   "sbncalls", number of calls
//   each call: images in the batch, number of inputs
//     each input: length of its name; the name, at a multiple of 8; its size in bytes; these, at a
//     multiple of 64
//
// A call need not give numbers for which the model's file has defaults.
struct Calls {
  const char* path;
  const uint8_t* data;
  int64_t size, at;
  int64_t left;  // calls that were not given yet
};

// Ends the program where the file cannot be read.
Calls read_calls(const char* path);

struct Session {
  sbn_model* model;
  sbn_context* context;
};

// Loads a model, to run on so many threads. Ends the program where that fails.
Session open_session(const char* path, int threads);

// Gives a session the inputs of the next call, of which there must be one left; returns how many
// images they are. Ends the program where they are not those of the model.
int64_t give_next(Calls* calls, const Session& session);

// Runs what was given. Ends the program where that fails.
void run_call(const Session& session, int64_t batch);

}  // namespace sbn::phone
