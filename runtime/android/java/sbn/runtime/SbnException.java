package sbn.runtime;

/** What a model cannot do, and why: one line. */
public final class SbnException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public SbnException(String message) {
        super(message);
    }
}
