# Changes when the flags do, so that programs are built anew.
FLAGS = $(CC) $(CXX) $(CFLAGS) $(LDFLAGS) $(CMSIS_NN) $(CMSIS_NN_LIB) $(TFLM_LIB) $(TFLM_INCLUDE) $(TFLM_FLAGS)
flags.txt: always
	@echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' > $@
